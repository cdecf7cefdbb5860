"""What a stored message must be, given the one that was handed in."""

import re

# Fields that onehop adds when they are missing.
ADDED = (b"date", b"from", b"message-id")
FIELD = re.compile(rb"(?m)^([!-9;-~]+):[^\n]*\n(?:[ \t][^\n]*\n)*")


def canonical(data):
    """'data' with LF for every line end, the last one included."""
    data = re.sub(rb"\r*\n|\r", b"\n", data)
    return data if not data or data.endswith(b"\n") else data + b"\n"


def split(data):
    """(header with its last line end, body)"""
    if data.startswith(b"\n"):
        return b"", data[1:]
    head, empty, body = data.partition(b"\n\n")
    return (head + b"\n" if empty else data), body


def fields(header):
    """The fields of a header, whole."""
    found = [m.group(0) for m in FIELD.finditer(header)]
    assert b"".join(found) == header, f"not a header: {header!r}"
    return found


def name(field):
    """A field's name in lower case."""
    return field.split(b":")[0].lower()


def assert_arrived(stored, given):
    """That 'stored' (a Stored) is the message 'given', byte for byte, but
    for the server's trace on top and Date, From and Message-ID where
    'given' has none. Returns the added fields by name."""
    data = stored.without_trace()
    if stored.crlf:
        assert b"\r" not in data.replace(b"\r\n", b"") \
            and b"\n" not in data.replace(b"\r\n", b""), "bare CR or LF"
        data = data.replace(b"\r\n", b"\n")
    expected_header, expected_body = split(canonical(given))
    header, body = split(data)
    had = {name(f) for f in fields(expected_header)}
    added, kept = {}, []
    for field in fields(header):
        if name(field) in ADDED and name(field) not in had:
            assert name(field) not in added, f"twice: {field!r}"
            added[name(field)] = field
        else:
            kept.append(field)
    assert b"".join(kept) == expected_header
    assert body == expected_body
    return added
