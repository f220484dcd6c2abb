"""HTTP/1.1 for servers. llhttp (the extra ``fast``) parses the heads of requests."""
