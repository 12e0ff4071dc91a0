"""TLS towards one vault: the authorities it is checked by, and the certificate that the gateway presents."""

import ssl
from datetime import datetime
from pathlib import Path

from cryptography.x509 import load_pem_x509_certificates

from app.errors import SettingsError
from app.http.settings import ProviderSettings


def client_context(name: str, settings: ProviderSettings) -> ssl.SSLContext | None:
    """The context for the vault's URLs; None: the default one, which trusts the public authorities.

    With `ca_file`, only the authorities in that file are trusted. Raises SettingsError for an unusable file.
    """
    ca, certificate, key = settings.ca_file, settings.client_cert_file, settings.client_key_file
    if not (ca or certificate or key):
        return None
    if bool(certificate) != bool(key):
        raise SettingsError(f"{name}.client_cert_file and {name}.client_key_file: set both or none")
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise _unusable(f"{name}.ca_file", error, "no certificate in PEM form") from None
    if certificate:
        try:
            # Without a password, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate, key, password="")
        except OSError as error:
            setting = f"{name}.client_cert_file, {name}.client_key_file"
            raise _unusable(setting, error, "no certificate and its key in PEM form, without a password") from None
    context.set_alpn_protocols(["http/1.1"])
    return context


def client_certificate_end(settings: ProviderSettings) -> datetime | None:
    """When the client certificate expires, None if there is none. Raises OSError or ValueError."""
    if not settings.client_cert_file:
        return None
    return load_pem_x509_certificates(Path(settings.client_cert_file).read_bytes())[0].not_valid_after_utc


def _unusable(setting: str, error: OSError, otherwise: str) -> SettingsError:
    is_about_content = isinstance(error, ssl.SSLError) or error.strerror is None
    return SettingsError(f"{setting}: {otherwise if is_about_content else error.strerror}")
