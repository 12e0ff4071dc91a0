"""What follows from a wallet's facts: pure rules, no I/O, no clock of their own."""
