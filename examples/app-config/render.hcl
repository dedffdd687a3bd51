# /etc/render/render.hcl: the configuration of the application shop, in three formats.

template {
  source      = "/etc/render/config.json.ctmpl"
  destination = "/etc/shop/config.json"
  action      = "shop"
}

template {
  source      = "/etc/render/config.yaml.ctmpl"
  destination = "/etc/shop/config.yaml"
  action      = "shop"
}

template {
  source      = "/etc/render/shop.env.ctmpl"
  destination = "/etc/shop/shop.env"
  action      = "shop"
}

action "shop" {
  command = "systemctl restart shop"
  verify  = "http://127.0.0.1:9000/health" # if shop does not answer, render restores the previous files and restarts it again
  atomic  = true                           # all three files change together, or none

  # Several keys often change one after another: wait until nothing has changed for two seconds.
  wait {
    min = "2s"
  }
}
