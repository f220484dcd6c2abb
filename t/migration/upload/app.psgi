use strict;
use warnings;
use Tatsumaki::Error;
use Tatsumaki::Application;

my %files;

package FormHandler;
use base qw(Tatsumaki::Handler);

sub get {
    my $self = shift;
    my $last = $self->request->cookies->{last};
    $self->write("<p>You sent $last</p>\n") if defined $last;
    $self->write('<form method=post action=/upload enctype=multipart/form-data>'
        . '<input type=file name=file><input name=title><input type=submit></form>');
}

package UploadHandler;
use base qw(Tatsumaki::Handler);

sub post {
    my $self = shift;
    my $req = $self->request;
    my $upload = $req->upload('file')
        or Tatsumaki::Error::HTTP->throw(400, "'file' needed");
    my $name = $upload->basename;
    open my $fh, '<:raw', $upload->path or die $!;
    $files{$name} = {
        title => $req->body_parameters->{title},
        type  => $upload->content_type,
        data  => do { local $/; <$fh> },
        from  => $req->user_agent,
    };
    my $res = $self->response;
    $res->redirect("/files/$name", 303);
    $res->cookies->{last} = { value => $name, path => '/', expires => time + 3600 };
    $res->header('X-Size' => $upload->size);
}

package FileHandler;
use base qw(Tatsumaki::Handler);

sub get {
    my($self, $name) = @_;
    my $file = $files{$name} or Tatsumaki::Error::HTTP->throw(404);
    if ($self->request->query_parameters->{info}) {
        return $self->write({ title => $file->{title}, from => $file->{from} });
    }
    $self->binary(1);
    $self->response->headers([ 'Content-Type' => $file->{type}, 'X-Content-Type-Options' => 'nosniff' ]);
    $self->response->body([ $file->{data} ]);
}

sub delete {
    my($self, $name) = @_;
    delete $files{$name} or Tatsumaki::Error::HTTP->throw(404);
    $self->response->cookies->{last} = { value => '', path => '/', expires => 0 };
    $self->response->code(204);
}

package main;
use Plack::Builder;

my $app = Tatsumaki::Application->new([
    '/upload$' => 'UploadHandler',
    '/files/([\w.-]+)$' => 'FileHandler',
    '/' => 'FormHandler',
]);

builder {
    enable 'Plack::Middleware::ContentLength';
    $app->psgi_app;
};
