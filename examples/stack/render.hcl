# /etc/render/render.hcl: nginx follows the web services in Consul.

consul {
  address = "127.0.0.1:8500"
}

template {
  source      = "/etc/render/upstreams.ctmpl"
  destination = "/etc/nginx/conf.d/upstreams.conf"
  action      = "nginx"
}

action "nginx" {
  check   = "nginx -t -q -c /etc/nginx/nginx.conf"
  command = "/usr/local/bin/reload.sh /run/nginx/nginx.pid"
  verify  = "http://127.0.0.1:8000/nginx"

  # A service that loses more than 70% of its instances at once keeps them for half a minute. Consul's agent reports such a loss, for
  # example, while it restarts: each check is critical until its first result.
  guard {
    max_drop = "70%"
    hold     = "30s"
    then     = "accept"
  }
}
