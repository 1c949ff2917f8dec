"""What stops unpromising trials early."""
