"""The hub, played by a server on this machine: what is fetched, and each failure as one sentence."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from core.base.errors import CancelledError, UserError
from core.cache import hub
from core.models.facts import load_shape
from core.models.sources import identify, load_model, load_tokenizer
from tests.core.byte_tokenizer import byte_tokenizer
from tests.core.tiny import tiny

COMMIT = "a" * 40


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A hub with the model `org/open` and a gated one, `org/gated`; the list of its requests."""
    files = tmp_path / "files"
    tiny(vocab_size=257).save_pretrained(files)
    byte_tokenizer().save_pretrained(files)
    (files / "pytorch_model.bin").write_bytes(b"pickle")
    (files / "README.md").write_text("not needed")
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def reply(self, code, body=b"", **headers):
            self.send_response(code)
            for name, value in {"Content-Length": len(body), **headers}.items():
                self.send_header(name.replace("_", "-"), str(value))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self):
            asked.append(self.path)
            path = self.path.partition("?")[0]
            if path == "/":
                return self.reply(200)
            if path.startswith("/api/models/org/open") or path.startswith("/api/models/org/gated"):
                siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in files.iterdir()]
                info = {"id": "org/x", "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
                return self.reply(200, json.dumps(info).encode(), Content_Type="application/json")
            if path.startswith("/org/gated/"):
                return self.reply(403, X_Error_Code="GatedRepo", X_Error_Message="gated")
            if path.startswith("/org/open/resolve/"):
                body = (files / path.rsplit("/", 1)[1]).read_bytes()
                return self.reply(200, body, ETag=f'"{len(body)}"', X_Repo_Commit=COMMIT)
            return self.reply(404, X_Error_Code="RepoNotFound")

    Handler.do_HEAD = Handler.do_GET
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    use_hub(monkeypatch, tmp_path, f"http://127.0.0.1:{running.server_port}")
    yield asked
    running.shutdown()
    running.server_close()
    hub.online.cache_clear()
    close_session()


def use_hub(monkeypatch, tmp_path, endpoint):
    monkeypatch.setenv("SLIMSCOPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    hub.online.cache_clear()


def test_a_hub_model_is_downloaded_once_and_then_used_offline(server, monkeypatch):
    source = identify("org/open")
    assert (source.id, source.revision, source.kind, source.folder) == ("org/open", COMMIT, "hub", None)
    assert load_shape(source).blocks == 2
    assert load_model(source).config.vocab_size == 257
    fetched = {path.rsplit("/", 1)[1] for path in server if "/resolve/" in path}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= fetched
    assert not {"pytorch_model.bin", "README.md"} & fetched
    del server[:]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.online.cache_clear()
    again = identify("org/open")
    assert again.revision == COMMIT and again.folder is not None
    load_model(again)
    assert load_tokenizer(again)("a")["input_ids"] == byte_tokenizer()("a")["input_ids"]
    assert server == []


def test_a_download_reports_its_bytes_and_can_be_cancelled(server):
    updates = []

    def stop_in_the_weights(stage, done, total, detail=""):
        updates.append((stage, done, total))
        if "model.safetensors" in detail and done > max(earlier for _, earlier, _ in updates[:-1]):
            raise CancelledError

    with pytest.raises(CancelledError):
        hub.download_model("org/open", COMMIT, stop_in_the_weights)
    assert hub.cached_folder("org/open", COMMIT) is None  # the configuration comes last

    updates = []
    folder = hub.download_model("org/open", COMMIT, lambda *report: updates.append(report[:3]))
    size = sum(file.stat().st_size for file in folder.iterdir())
    assert {(stage, total) for stage, _, total in updates} == {("download", size)}
    counts = [done for _, done, _ in updates]
    assert counts == sorted(counts) and counts[-1] == size and len(set(counts)) > 3
    assert hub.cached_revision("org/open") == COMMIT


def test_a_gated_or_missing_model_is_named(server):
    with pytest.raises(UserError, match=r"'org/gated' is gated: accept its licence at http.*/org/gated, then run"):
        load_model(identify("org/gated"))
    with pytest.raises(UserError, match="The Hugging Face Hub has no public 'org/none'"):
        identify("org/none")


def test_hub_is_queried_once_per_process(server):
    assert hub.online() and hub.online()
    assert server == ["/"]


def test_an_unreachable_hub_gives_an_error_with_the_fix(tmp_path, monkeypatch):
    use_hub(monkeypatch, tmp_path, "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"is not reachable .* run `hf download org/open --local-dir FOLDER`"):
        identify("org/open")
    with pytest.raises(UserError, match=r"accept its licence at .*Llama-2-7b-hf, run `hf auth login` and `hf download"):
        identify("llama-2-7b")
    hub.online.cache_clear()


def test_pickled_weights_are_downloaded_only_without_safetensors():
    both = ["config.json", *("model.safetensors", "original/x.safetensors", "consolidated.safetensors")]
    both.append("pytorch_model.bin")
    assert hub.wanted_files(both) == ["model.safetensors", "config.json"]
    assert hub.wanted_files(["config.json", "pytorch_model.bin"]) == ["pytorch_model.bin", "config.json"]
