# /etc/render/render.hcl: backends and hosts of HAProxy, checked together.

template {
  source      = "/etc/render/haproxy.ctmpl"
  destination = "/etc/haproxy/haproxy.cfg"
  action      = "haproxy"
}

template {
  source      = "/etc/render/hosts.map.ctmpl"
  destination = "/etc/haproxy/hosts.map"
  action      = "haproxy"
}

action "haproxy" {
  check   = "haproxy -c -f /etc/haproxy/haproxy.cfg"
  command = "systemctl reload-or-restart haproxy"
  atomic  = true # the backends and the map change together, or none

  # A service that loses more than half of its instances at once keeps them for five minutes.
  guard {
    max_drop = "50%"
    hold     = "5m"
    then     = "accept"
  }
}
