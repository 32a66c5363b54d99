#!/usr/bin/perl
use strict;
use warnings;

print "Content-Type: text/plain\r\n\r\nHello from Perl, $ENV{REQUEST_METHOD}.\n";
