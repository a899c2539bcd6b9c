"""Where a file is stored: a path that every file system accepts and that no other file has."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import unicodedata

from tap_intercom.attachments.links import ATTACHMENT, Link

# Most file systems take 255 bytes; the rest is for what stands before and after a name.
LONGEST_NAME_BYTES = 180
LONGEST_ENDING_BYTES = 16
# Names that Windows keeps for devices, with any ending.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.I)
_FORBIDDEN = '<>:"/\\|?*%#'
_UNSAFE_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def stored_path(link: Link, content_type: str | None = None, *, is_named: bool = True) -> str:
    """Return the path of a file, relative to the folder of all files, with forward slashes.

    Stream, parent and position are in the path, so two files of one name have different paths.

    is_named: whether the path has the name of the file; otherwise it has what kind of file it is.
    """
    mark = "" if link.kind == ATTACHMENT else f"{link.kind}-"
    if link.place:
        mark += f"{_short_hash(link.place)}-"
    name = link.name
    if not is_named:
        name = f"{link.kind}{mimetypes.guess_extension(content_type or '') or ''}"
    name = f"{mark}{link.position}-{safe_name(name or link.kind)}"
    return f"{link.parent_stream}/{safe_id(link.parent_id)}/{name}"


def with_hash(path: str, sha256: str) -> str:
    """Return another path for a file whose own path belongs to a file with other content."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > LONGEST_ENDING_BYTES:
        stem, dot, ending = name, "", ""
    return f"{folder}{slash}{stem}-{sha256[:16]}{dot}{ending}"


def safe_id(text: str) -> str:
    """Return an id as the name of a folder. Different ids never share a folder."""
    name = safe_name(text)
    # File systems may ignore case.
    return name if name == text and text == text.lower() else f"{name}-{_short_hash(text)}"


def safe_name(text: str) -> str:
    """Return a name without what a file system refuses or what hides its real ending."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(" " if each.isspace() else each for each in composed if not _is_unsafe(each))
    name = "".join("_" if each in _FORBIDDEN else each for each in kept)
    name = _shortened(re.sub(r" +", " ", name).strip(" ."))
    if not name:
        return "file"
    return f"_{name}" if _RESERVED.fullmatch(name) else name


def _is_unsafe(character: str) -> bool:
    """Whether a character is invisible, such as NUL, a control or one that turns the direction."""
    return unicodedata.category(character) in _UNSAFE_CATEGORIES and not character.isspace()


def _shortened(name: str) -> str:
    """Cut a name in the middle, so its ending stays."""
    if len(name.encode()) <= LONGEST_NAME_BYTES:
        return name
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending.encode()) > LONGEST_ENDING_BYTES:
        stem, dot, ending = name, "", ""
    room = LONGEST_NAME_BYTES - len(f"{dot}{ending}".encode())
    cut = stem.encode()[:room].decode(errors="ignore").rstrip(" .")
    return f"{cut}{dot}{ending}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:8]
