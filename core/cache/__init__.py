"""What this machine keeps: files of the hub and of wheels, models and statistics made before."""
