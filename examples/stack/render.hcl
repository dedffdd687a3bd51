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

  # A service keeps its last instances for half a minute after Consul reports that all are gone. Consul's agent reports that, for
  # example, while it restarts: each check is critical until its first result.
  guard {
    min  = 1
    hold = "30s"
    then = "accept"
  }
}
