"""An upload that redirects to the uploaded file."""

import json

FORM = (
    b'--B\r\nContent-Disposition: form-data; name="title"\r\n\r\nMine\r\n'
    b'--B\r\nContent-Disposition: form-data; name="file"; filename="../a b.bin"\r\n'
    b"Content-Type: image/png\r\n\r\n\xff\x00\n\r\n--B--\r\n"
)
HEADERS = {"Content-Type": "multipart/form-data; boundary=B", "User-Agent": "me"}


def test_upload(ported):
    """A file can be uploaded, downloaded and deleted."""
    ask = ported("upload")
    answer = ask("/upload", "POST", FORM, HEADERS)
    assert (answer.status, answer.headers["Location"]) == (303, "/files/a_b.bin")
    assert answer.headers["X-Size"] == "3"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("last=a_b.bin; expires=")
    answer = ask(answer.headers["Location"])
    assert (answer.body, answer.headers["Content-Type"]) == (b"\xff\0\n", "image/png")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    answer = ask("/files/a_b.bin?info=1")
    assert json.loads(answer.body) == {"title": "Mine", "from": "me"}
    page = ask("/", headers={"Cookie": cookie.partition(";")[0]}).body
    assert page.startswith(b"<p>You sent a_b.bin</p>\n<form")
    answer = ask("/files/a_b.bin", "DELETE")
    assert (answer.status, answer.body) == (204, b"")
    assert "expires=Thu, 01 Jan 1970" in answer.headers["Set-Cookie"]
    assert ask("/files/a_b.bin").status == 404


def test_mistakes(ported):
    """A missing upload is answered with 400, and an unknown file or path with 404."""
    ask = ported("upload")
    answer = ask("/upload", "POST", {"title": "Mine"})
    assert (answer.status, answer.body) == (400, b"'file' needed")
    answer = ask("/files/none", "DELETE")
    assert (answer.status, answer.body) == (404, b"Not Found")
    assert ask("/upload/x", "POST").status == 404
