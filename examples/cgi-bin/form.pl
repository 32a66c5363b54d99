#!/usr/bin/perl
# A CGI program with CGI.pm: shows its environment, and takes an upload and reports its name, its
# size and its SHA-256. Everything that comes from outside is escaped before it is shown.
use strict;
use warnings;

use CGI ();
use Digest::SHA ();

# CGI.pm stores the upload in a temporary file while it parses the request; larger ones are refused.
$CGI::POST_MAX = 64 * 1024 * 1024;

sub upload_report {
    my ($query) = @_;
    my $file = $query->upload('file') or return '<p>No file came with this request.</p>';
    my $digest = Digest::SHA->new(256);
    my $size   = 0;
    binmode $file;
    while (read $file, my $chunk, 65536) {
        $size += length $chunk;
        $digest->add($chunk);
    }
    my $name = $query->escapeHTML(scalar $query->param('file'));
    my $sum  = $digest->hexdigest;
    return "<table>\n<tr><th>name</th><td>$name</td></tr>\n"
        . "<tr><th>size</th><td>$size</td></tr>\n<tr><th>sha256</th><td>$sum</td></tr>\n</table>";
}

sub environment_table {
    my ($query) = @_;
    my @rows = map {
        '<tr><th>' . $query->escapeHTML($_) . '</th><td>' . $query->escapeHTML($ENV{$_}) . '</td></tr>'
    } sort keys %ENV;
    return join "\n", '<table>', @rows, '</table>';
}

my $query = CGI->new;
$query->charset('utf-8');
my $error = $query->cgi_error;
if ($error) {
    print $query->header(-type => 'text/plain', -status => $error), "$error\n";
    exit 0;
}

my $upload = $query->request_method eq 'POST' ? "<h2>Upload</h2>\n" . upload_report($query) : '';
my $action = $query->escapeHTML($query->script_name);

print $query->header(-type => 'text/html', -charset => 'utf-8');
print <<"PAGE";
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>A form by CGI.pm</title></head>
<body>
<h1>A form by CGI.pm</h1>
<form action="$action" method="post" enctype="multipart/form-data">
<p><input type="file" name="file"> <input type="submit" value="Send"></p>
</form>
$upload
<h2>Environment</h2>
@{[environment_table($query)]}
</body>
</html>
PAGE
