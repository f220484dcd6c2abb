use strict;
use warnings;
use Tatsumaki::Error;
use Tatsumaki::Application;
use Tatsumaki::MessageQueue;

package RoomHandler;
use base qw(Tatsumaki::Handler);

sub get {
    my($self, $room) = @_;
    my $mq = Tatsumaki::MessageQueue->instance($room + 0);
    my @old = $mq->backlog_events;
    $mq->append_backlog({ text => "Welcome to room $room" }) unless @old;
    $self->render('room.mt', {
        title => "Room <$room>",
        events => [ $mq->backlog_events ],
    });
    $self->finish;
}

package PollHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub get {
    my($self, $room, $user) = @_;
    my $mq = Tatsumaki::MessageQueue->instance(int $room);
    $mq->poll_once(int $user, sub { $self->finish([ @_ ]) }, 2);
}

package SayHandler;
use base qw(Tatsumaki::Handler);

sub post {
    my($self, $room) = @_;
    my $text = $self->request->param('text');
    length $text or Tatsumaki::Error::HTTP->throw(400, 'nothing said');
    Tatsumaki::MessageQueue->instance(int $room)->publish({ text => $text });
    $self->response->redirect("/room/$room");
}

package main;
use File::Basename;

my $app = Tatsumaki::Application->new([
    '/room/(\d+)/poll/(\d+)$' => 'PollHandler',
    '/room/(\d+)/say$' => 'SayHandler',
    '/room/(\d+)$' => 'RoomHandler',
]);

$app->template_path(dirname(__FILE__) . '/templates');
$app->psgi_app;
