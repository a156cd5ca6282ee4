vcl 4.1;

backend origin {
  .host = "127.0.0.1";
  .port = "{{.OriginPort}}";
}

acl purgers {
  "127.0.0.1";
}

sub vcl_recv {
  if (req.method == "PURGE") {
    if (!client.ip ~ purgers) {
      return (synth(405));
    }
    return (purge);
  }
}
{{if .TTL}}
sub vcl_backend_response {
  set beresp.ttl = {{.TTL}};
}
{{end}}
