"""What local programs talk to: the Unix socket, RESP, the commands."""
