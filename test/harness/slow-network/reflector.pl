#!/usr/bin/perl
# reflector.pl DEVICE SECONDS: the far end of a tun device. Each IPv4 packet comes back after SECONDS with its
# two addresses exchanged, so a connection from 10.99.0.1 to 10.99.0.2 reaches a server on 10.99.0.1.
# The checksums stay right, because they do not depend on the order of the addresses. Other packets are lost.
use strict;
use warnings;
use Time::HiRes qw(time);

my ($device, $seconds) = @ARGV;
my ($TUNSETIFF, $IFF_TUN_NO_PI) = (0x400454ca, 0x1001);
open(my $tun, '+<', '/dev/net/tun') or die "/dev/net/tun: $!\n";
my $request = pack('a16 s x22', $device, $IFF_TUN_NO_PI);
ioctl($tun, $TUNSETIFF, $request) or die "$device: $!\n";

my @waiting;
while (1) {
    my $wait = @waiting ? $waiting[0][0] - time : undef;
    if (!defined $wait || $wait > 0) {
        my $ready = '';
        vec($ready, fileno($tun), 1) = 1;
        if (select($ready, undef, undef, $wait) > 0) {
            my $packet;
            next unless sysread($tun, $packet, 65536);
            next unless ord($packet) >> 4 == 4;
            my $from = substr($packet, 12, 4);
            substr($packet, 12, 4) = substr($packet, 16, 4);
            substr($packet, 16, 4) = $from;
            push @waiting, [time + $seconds, $packet];
            next;
        }
    }
    while (@waiting && $waiting[0][0] <= time) { syswrite($tun, (shift @waiting)->[1]); }
}
