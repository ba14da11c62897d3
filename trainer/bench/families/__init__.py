"""What published models of full size cost, with random weights in their layouts."""
