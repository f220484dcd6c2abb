"""HTTP/1.1 for servers, with the heads of requests parsed by llhttp (the extra ``fast``)."""
