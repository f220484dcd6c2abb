use strict;
use warnings;
use Tatsumaki::Error;
use Tatsumaki::Application;
use Tatsumaki::MessageQueue;

# A hidden iframe reads this: each event is in its own script.
package FrameHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub get_chunk {
    my($self, @chunk) = @_;
    return join '', @chunk unless ref $chunk[0];
    my $json = $self->json->encode($chunk[0]);
    $json =~ s{</}{<\\/}g;
    return "<script>parent.on_event($json)</script>\n";
}

sub get {
    my($self, $channel) = @_;
    my $client_id = $self->request->param('client_id') || rand(1);
    $self->response->header('X-Frame-Options' => 'SAMEORIGIN');
    $self->stream_write("<!doctype html>", "\n");
    my $mq = Tatsumaki::MessageQueue->instance($channel);
    $mq->poll($client_id, sub {
        my @events = @_;
        for my $event (@events) {
            $self->stream_write($event);
            $self->finish("bye") if $event->{last};
        }
    });
}

package PublishHandler;
use base qw(Tatsumaki::Handler);

sub post {
    my($self, $channel) = @_;
    my $v = $self->request->parameters;
    Tatsumaki::MessageQueue->instance($channel)->publish({
        text => $v->{text}, last => $v->{last} ? JSON::true : JSON::false,
    });
    $self->write({ success => 1 });
}

package main;

my $app = Tatsumaki::Application->new([
    '/frame/(\w+)' => 'FrameHandler',
    '/publish/(\w+)' => 'PublishHandler',
]);

$app->psgi_app;
