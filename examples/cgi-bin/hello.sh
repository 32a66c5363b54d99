#!/bin/sh
# A CGI program in POSIX shell: a header, an empty line, a page. Values that the client chose are
# shown only after escaping what HTML gives a meaning.

escape()
{
    printf '%s' "$1" | sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g'
}

cat <<PAGE
Content-Type: text/html; charset=utf-8

<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Hello from a shell script</title></head>
<body>
<h1>Hello from a shell script</h1>
<p>It runs as $(id -un), process $$, in $(escape "$(pwd)").</p>
<dl>
<dt>Method</dt><dd>$(escape "$REQUEST_METHOD")</dd>
<dt>Program</dt><dd>$(escape "$SCRIPT_NAME")</dd>
<dt>Path after the program</dt><dd>$(escape "$PATH_INFO")</dd>
<dt>Query</dt><dd>$(escape "$QUERY_STRING")</dd>
<dt>Client</dt><dd>$(escape "$REMOTE_ADDR")</dd>
</dl>
</body>
</html>
PAGE
