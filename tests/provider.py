"""Another site: an OpenID Connect provider, Authlib's, with a page to sign in on and one that hands
its user over. It answers only clients that use PKCE correctly.

Its attributes can be changed while it runs: the key it signs with, those that it publishes, and
claims that differ from the right ones.
"""

import secrets
import threading
import time
from collections import Counter
from types import SimpleNamespace

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode
from flask import Flask, abort, jsonify, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import WSGIRequestHandler, make_server

CLIENT, SECRET = "chat", "a~secret-with.dots"
PAGE = """<!DOCTYPE html><html lang="en"><head><title>Provider</title>
<link rel="icon" href="data:,"></head><body><h1>Please sign in</h1>
<form method="post"><label>Subject <input name="sub" autofocus></label>
<label>Name <input name="name"></label>
<button>Sign in</button><button name="deny" value="1">Cancel</button></form></body></html>"""
FORM = """<!DOCTYPE html><html lang="en"><head><title>Site</title>
<link rel="icon" href="data:,"></head><body>
<form method="post" action="{to}"><input type="hidden" name="token" value="{token}">
<button>To the chat</button></form></body></html>"""


class Quiet(WSGIRequestHandler):
    def log(self, type, message, *args):
        pass


class Client(ClientMixin):
    """The chat, as the provider knows it."""

    def get_client_id(self):
        return CLIENT

    def get_default_redirect_uri(self):
        return ""

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri.endswith("/sign-in/oidc/callback")

    def check_client_secret(self, client_secret):
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == "authorization_code"


class Code(SimpleNamespace, AuthorizationCodeMixin):
    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return self.nonce

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return "1"

    def get_amr(self):
        return ["pwd"]


class Grant(AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    @property
    def codes(self):
        return self.server.provider.codes

    def save_authorization_code(self, code, request):
        data = request.payload.data
        kept = ("nonce", "code_challenge", "code_challenge_method")
        self.codes[code] = Code(
            code=code,
            user=request.user,
            scope=request.payload.scope,
            redirect_uri=request.payload.redirect_uri,
            **{name: data.get(name) for name in kept},
        )

    def query_authorization_code(self, code, client):
        return self.codes.get(code)

    def delete_authorization_code(self, authorization_code):
        del self.codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return authorization_code.user


class S256(CodeChallenge):
    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)


class Claims(OpenIDCode):
    def __init__(self, provider):
        super().__init__(require_nonce=True)
        self.provider = provider

    def exists_nonce(self, nonce, request):
        return any(code.nonce == nonce for code in self.provider.codes.values())

    def resolve_client_private_key(self, client):
        return self.provider.key

    def get_client_algorithm(self, client):
        return "RS256"

    def get_encode_header(self, client):
        return {"alg": "RS256", "kid": self.provider.key.kid}

    def get_client_claims(self, client):
        now = int(time.time())
        return {"iss": self.provider.url, "aud": [CLIENT], "iat": now, "exp": now + 300}

    def generate_user_info(self, user, scope):
        known = {"sub": user["sub"]} if self.provider.thin else user
        return {**known, **self.provider.says}


class Provider:
    """Runs in a thread from `start` to `stop`."""

    def __init__(self):
        self.codes = {}
        self.tokens = {}
        self.asked = Counter()  # paths
        self.says = {}  # claims instead of the right ones
        self.thin = False  # names are told at the userinfo address only
        self.issuer = ""  # instead of the right one
        self.metadata = {}  # in its document instead of the right values
        self.answers = {}  # by path, JSON documents instead of the right ones
        self.key = new_key()
        self.published = [self.key]
        self.server = make_server("127.0.0.1", 0, self._app(), threaded=True, request_handler=Quiet)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def rotate(self):
        """Sign with a new key, and publish it instead of the old one."""
        self.key = new_key()
        self.published = [self.key]

    def sign(self, claims, alg="RS256", **header):
        """A token of the provider's, such as another site hands over."""
        return jwt.encode({"alg": alg, "kid": self.key.kid, **header}, claims, self.key, [alg])

    def _app(self):
        app = Flask("provider")
        server = AuthorizationServer(app, query_client=self._client, save_token=self._save)
        server.provider = self
        server.register_grant(Grant, [S256(required=True), Claims(self)])

        @app.before_request
        def count():
            self.asked[request.path] += 1
            if request.path in self.answers:
                return jsonify(self.answers[request.path])
            return None

        @app.get("/.well-known/openid-configuration")
        def metadata():
            paths = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
            places = {path: f"{self.url}/{path}" for path in paths}
            return jsonify({"issuer": self.issuer or self.url, **places, **self.metadata})

        @app.get("/jwks_uri")
        def keys():
            return jsonify(KeySet(self.published).as_dict(private=False))

        @app.route("/authorization_endpoint", methods=["GET", "POST"])
        def authorize():
            who = {name: request.form.get(name, "") for name in ("sub", "name")}
            try:
                grant = server.get_consent_grant(end_user=who)
            except OAuth2Error as error:
                return dict(error.get_body()), 400
            if "code_challenge" not in request.args:
                abort(400)
            if request.method == "GET":
                return PAGE
            user = None if "deny" in request.form else who
            return server.create_authorization_response(grant=grant, grant_user=user)

        @app.post("/token_endpoint")
        def token():
            return server.create_token_response()

        @app.get("/hand-over")
        def hand_over():
            now = int(time.time())
            who = {"sub": "9", "name": "Ida", "iat": now, "exp": now + 60}
            token = self.sign({"iss": self.url, "aud": CLIENT, **who})
            return FORM.format(to=request.args["to"], token=token)

        @app.get("/userinfo_endpoint")
        def userinfo():
            user = self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))
            return jsonify(user) if user else abort(401)

        return app

    def _client(self, client_id):
        return Client() if client_id == CLIENT else None

    def _save(self, token, request):
        self.tokens[token["access_token"]] = request.user


def new_key(kid=""):
    return RSAKey.generate_key(2048, {"kid": kid or secrets.token_hex(4), "use": "sig"})
