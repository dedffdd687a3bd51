# /etc/render/render.hcl: upstreams of nginx, tested, reloaded and verified.

template {
  source      = "/etc/render/upstreams.ctmpl"
  destination = "/etc/nginx/conf.d/upstreams.conf"
  action      = "nginx"
}

action "nginx" {
  check   = "nginx -t"
  command = "/usr/local/bin/reload.sh"
  verify  = "http://127.0.0.1/healthz"

  # A service that loses more than half of its instances at once keeps them for five minutes.
  guard {
    max_drop = "50%"
    hold     = "5m"
    then     = "accept"
  }
}
