# Each of the three servers. The command line adds its name, its address and its folder for data.
server           = true
bootstrap_expect = 3
retry_join       = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
retry_interval   = "1s"
log_level        = "warn"

disable_update_check = true

# Shorter timeouts: a new leader is elected within a few seconds. The default is for slow machines.
performance {
  raft_multiplier = 1
}
ports {
  dns      = -1
  grpc     = -1
  grpc_tls = -1
  serf_wan = -1
}
