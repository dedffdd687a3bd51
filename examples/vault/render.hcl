# /etc/render/render.hcl: secrets of the application shop and the certificate of nginx in front of it.

vault {
  address = "https://vault-1.internal:8200,https://vault-2.internal:8200"

  login {
    path   = "auth/approle/login"
    fields { role_id = "shop" }
    files  { secret_id = "/run/render/secret-id" }
  }

  # A change of a secret below secret/ shows within half a minute.
  poll {
    "secret/" = "30s"
  }
}

perms = "0640" # secrets are not for everybody

template {
  source      = "/etc/render/database.json.ctmpl"
  destination = "/etc/shop/database.json"
  action      = "shop"
}

template {
  source      = "/etc/render/shop.env.ctmpl"
  destination = "/etc/shop/shop.env"
  action      = "shop"
}

template {
  source      = "/etc/render/shop.pem.ctmpl"
  destination = "/etc/nginx/tls/shop.pem"
  action      = "nginx"
}

action "shop" {
  command = "systemctl restart shop"
  verify  = "http://127.0.0.1:9000/health" # if shop does not answer, render restores the previous files and restarts it again
}

action "nginx" {
  check   = "nginx -t"
  command = "/usr/local/bin/reload.sh" # of examples/nginx
}
