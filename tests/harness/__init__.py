"""What the tests share: a server of their own (server), bare protocol clients (wire), and mail to send (material)."""
