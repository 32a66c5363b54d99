#!/usr/bin/perl
use strict;
use warnings;
print "Content-Type: text/plain\r\n\r\nhello from perl\n";
