"""What a traced function computes with: an object for each kind that an eager run would see."""
