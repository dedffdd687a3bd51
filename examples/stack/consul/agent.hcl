# The client agent of the machine: containers are registered here, and render queries it.
retry_join     = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
retry_interval = "1s"
log_level      = "warn"

disable_update_check = true

# A restart of the agent is not the end of the machine: its services stay in the catalog.
leave_on_terminate = false

ports {
  dns      = -1
  grpc     = -1
  grpc_tls = -1
}
