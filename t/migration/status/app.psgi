use strict;
use warnings;
use AnyEvent;
use Tatsumaki::Error;
use Tatsumaki::Application;
use Tatsumaki::MessageQueue;

my $started = AE::now;
my %status = (load => 0);

package PageHandler;
use base qw(Tatsumaki::Handler);

sub get {
    my $self = shift;
    my $up = int(AE::now - $started);
    $self->write("<title>Status</title>", "<p>Up for $up seconds</p>\n");
    for my $name (sort keys %status) {
        $self->write("<p>$name: <b id=$name>", $status{$name}, "</b></p>\n");
    }
}

package PollHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub get {
    my $self = shift;
    my $client_id = $self->request->param('client_id')
        or Tatsumaki::Error::HTTP->throw(400, "'client_id' needed");
    my $mq = Tatsumaki::MessageQueue->instance('status');
    $mq->poll_once($client_id, sub {
        my @lines = @_;
        $self->write(\@lines);
        $self->finish;
    }, 10);
}

package LaterHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub get {
    my($self, $name) = @_;
    exists $status{$name} or Tatsumaki::Error::HTTP->throw(404, "no such status");
    $self->response->content_type('text/plain');
    $self->log("asked for ", $name, "\n");
    my $t; $t = AE::timer 0.1, 0, $self->async_cb(sub {
        undef $t;
        $self->finish($status{$name});
    });
}

package main;

my $mq = Tatsumaki::MessageQueue->instance('status');
our $timer = AE::timer 0.2, 0.2, sub {
    $status{load}++;
    $mq->publish("load $status{load}");
};

my $app = Tatsumaki::Application->new([
    '/poll' => 'PollHandler',
    '/status/(\w+)' => 'LaterHandler',
    '/' => 'PageHandler',
]);

$app->psgi_app;
