#!/usr/bin/perl
# A form with a file, taken apart by CGI.pm: prints the field and the MD5 of the file.
use strict;
use warnings;
use CGI;
use Digest::MD5;
my $form = CGI->new;
my $file = $form->upload('file');
binmode $file;
print $form->header('text/plain'), scalar $form->param('title'), ' ',
    Digest::MD5->new->addfile($file)->hexdigest, "\n";
