use strict;
use warnings;
use JSON;
use HTTP::Request;
use Tatsumaki::Error;
use Tatsumaki::Application;
use Tatsumaki::HTTPClient;
use Tatsumaki::MessageQueue;

# Receives a hook from a code host, passes it to a chat's API, and publishes it.
package HookHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub post {
    my($self, $project) = @_;
    my $req = $self->request;
    ($req->content_type || '') =~ m{^application/json}
        or Tatsumaki::Error::HTTP->throw(415, 'JSON wanted');
    my $hook = eval { JSON::decode_json($req->content) }
        or Tatsumaki::Error::HTTP->throw(400, 'broken JSON');
    my $base = $req->env->{'psgi.url_scheme'} . '://' . $req->env->{HTTP_HOST};

    my $client = Tatsumaki::HTTPClient->new(timeout => 5);
    $client->post("$base/api/messages",
        Authorization  => 'Bearer secret',
        'Content-Type' => 'application/json',
        Content        => JSON::encode_json({ text => "$hook->{user} pushed to $project" }),
        $self->async_cb(sub {
            my $res = shift;
            $res->is_success or Tatsumaki::Error::HTTP->throw(502, 'chat: ' . $res->status_line);
            Tatsumaki::MessageQueue->instance($project)->publish($hook);
            $self->form($client, $base, $hook);
        }));
}

# Sends a form to the counter, then a request with another method.
sub form {
    my($self, $client, $base, $hook) = @_;
    $client->post("$base/api/count", [ user => $hook->{user}, n => 1 ], $self->async_cb(sub {
        my $count = JSON::decode_json($_[0]->content);
        my $request = HTTP::Request->new(PUT => "$base/api/count", [ Accept => 'text/plain' ]);
        $client->request($request, $self->async_cb(sub {
            my $res = shift;
            $self->response->code(202);
            $self->write({ count => $count, put => $res->code, reason => $res->message,
                type => scalar $res->header('Content-Type') });
            $self->finish;
        }));
    }));
}

package MessagesHandler;
use base qw(Tatsumaki::Handler);

sub post {
    my $self = shift;
    ($self->request->header('Authorization') || '') eq 'Bearer secret'
        or Tatsumaki::Error::HTTP->throw(403, 'no token');
    my $message = JSON::decode_json($self->request->raw_body);
    Tatsumaki::Error::HTTP->throw(503, 'busy') if $message->{text} =~ /^mallory/;
    $self->write({ ok => JSON::true });
}

package CountHandler;
use base qw(Tatsumaki::Handler);

my %count;

sub post {
    my $self = shift;
    my $v = $self->request->body_parameters;
    $count{ $v->{user} } += $v->{n};
    $self->write(\%count);
}

package PollHandler;
use base qw(Tatsumaki::Handler);
__PACKAGE__->asynchronous(1);

sub get {
    my($self, $project) = @_;
    my $mq = Tatsumaki::MessageQueue->instance($project);
    $mq->poll_once(rand(1), sub { $self->finish(\@_) }, 1);
}

package main;

my $app = Tatsumaki::Application->new([
    '/hook/(\w+)$' => 'HookHandler',
    '/poll/(\w+)$' => 'PollHandler',
    '/api/messages$' => 'MessagesHandler',
    '/api/count$' => 'CountHandler',
]);

$app->psgi_app;
