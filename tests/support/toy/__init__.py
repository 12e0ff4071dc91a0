"""A vault from outside: what an installed package would hold. It keeps one card for everybody and calls nobody."""
