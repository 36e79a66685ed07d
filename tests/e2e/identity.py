"""A stub of an OpenID Connect provider on this machine, at which everyone is signed in at once."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT = "slimscope"


class Provider:
    """The provider; `email` is who signs in next."""

    def __init__(self) -> None:
        self.email, self.verified = "ann@example.org", True
        self.key = RSAKey.generate_key(2048, {"kid": "stub", "use": "sig", "alg": "RS256"})
        self.nonces: dict[str, str] = {}  # by code
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def token(self, code: str) -> str:
        """Return the signed identity of the person who has this code."""
        claims = {"iss": self.url, "aud": CLIENT, "sub": self.email, "email": self.email}
        claims |= {"email_verified": self.verified, "nonce": self.nonces[code]}
        claims |= {"iat": int(time.time()), "exp": int(time.time()) + 600}
        return jwt.encode({"alg": "RS256", "kid": "stub"}, claims, self.key)


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if parts.path == "/authorize":
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                code = f"code{len(provider.nonces)}"
                provider.nonces[code] = asked.get("nonce", "")
                self.send_response(302)
                answer = urlencode({"code": code, "state": asked["state"]})
                self.send_header("Location", f"{asked['redirect_uri']}?{answer}")
                self.end_headers()
            elif parts.path == "/keys":
                self._send({"keys": [provider.key.as_dict(private=False)]})
            else:
                places = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
                known = {name: f"{provider.url}/{place}" for name, place in places.items()}
                signing = {"id_token_signing_alg_values_supported": ["RS256"]}
                self._send({"issuer": provider.url, **known, **signing})

        def do_POST(self) -> None:
            sent = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            token = provider.token(sent["code"][0])
            self._send({"access_token": "a", "token_type": "Bearer", "id_token": token, "expires_in": 600})

        def _send(self, content: dict) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def provider() -> Iterator[Provider]:
    """Run the stub."""
    found = Provider()
    threading.Thread(target=found.server.serve_forever, daemon=True).start()
    yield found
    found.server.shutdown()
