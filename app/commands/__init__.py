"""What each `vaultgraph` subcommand does; imported when it is called, so that none pays for another."""
