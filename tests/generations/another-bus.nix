# Another message bus, which everything hangs on: userspace has to start over, and the kernel need not.
{ systemd.services.dbus.serviceConfig.LimitNOFILE = 16000; }
