"""What a run will take and leave: its time, its memory and the size of its model."""
