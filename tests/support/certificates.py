"""Certificates for TLS on loopback, created on demand and trusted only by the test's client."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class MutualTls:
    """A private authority, a server that demands a certificate of it, and a client's certificate, as PEM files."""

    server: ssl.SSLContext
    ca_file: str
    client_cert_file: str
    client_key_file: str

    @property
    def settings(self) -> dict[str, str]:
        names = ("ca_file", "client_cert_file", "client_key_file")
        return {name: getattr(self, name) for name in names}


def mutual_tls(folder: Path, ends: datetime | None = None) -> MutualTls:
    """`ends`: when the client's certificate expires; in an hour by default."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private authority")])
    now = datetime.now(UTC)

    def signed(key: ec.EllipticCurvePrivateKey, name: x509.Name, until: datetime, *, is_ca: bool) -> bytes:
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, until) - timedelta(hours=1))
            .not_valid_after(until)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
            .sign(ca_key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM)

    def written(file: str, content: bytes) -> str:
        path = folder / file
        path.write_bytes(content)
        path.chmod(0o600)
        return str(path)

    ca_file = written("ca.pem", signed(ca_key, ca_name, now + timedelta(hours=1), is_ca=True))
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vaultgraph tests")])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(written("server.pem", pem + signed(key, name, now + timedelta(hours=1), is_ca=False)))
    server.load_verify_locations(ca_file)
    server.verify_mode = ssl.CERT_REQUIRED
    certificate = signed(key, name, ends or now + timedelta(hours=1), is_ca=False)
    return MutualTls(server, ca_file, written("client.pem", certificate), written("client-key.pem", pem))


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server context with a new certificate for these names and addresses, and a client context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vaultgraph tests")])
    now = datetime.now(UTC)
    alternatives = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + public)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=public.decode())
