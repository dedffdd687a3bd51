# The configuration of the service "render". All settings, with their defaults, are in /usr/share/doc/render/render.hcl;
# README.md beside that file describes each of them.
#
# 1. Add a template below. Without one render waits, and logs that there is nothing to render.
# 2. Test this file:        render --config /etc/render/render.hcl --parse-only
# 3. Start the service:     systemctl enable render && systemctl start render
# 4. After each change:     systemctl reload render
#
# If a change is wrong, the previous configuration stays in effect. "journalctl -u render" shows what is wrong.

consul {
  # The agent on this machine is the default.
  # address = "127.0.0.1:8500"

  # A file with the token. render notices when the file changes.
  # token_file = "/etc/render/consul.token"
}

# A template, the file that it makes, and what happens when the file has changed.
# template {
#   source      = "/etc/render/upstreams.ctmpl"
#   destination = "/etc/nginx/conf.d/upstreams.conf"
#   check       = "nginx -t"
#   command     = "systemctl reload nginx"
# }
