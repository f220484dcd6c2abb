% my $stash = $_[0];
% my $room = $stash->{handler}->args->[0];
<!doctype html>
<title><%= $stash->{title} %></title>
<h1>Room <%= $room %></h1>
% if (@{$stash->{events}}) {
<ul>
%   for my $event (@{$stash->{events}}) {
<li><%= $event->{text} %></li>
%   }
</ul>
% } else {
<p>Nobody said anything.</p>
% }
%# the page's own script
<script>poll("/room/<%= $room %>/poll/" + user)</script>
<%= Text::MicroTemplate::encoded_string('<hr>') %>
