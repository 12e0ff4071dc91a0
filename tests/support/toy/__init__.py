"""An external vault, as an installed package has it. It returns one card for every customer and makes no calls."""
