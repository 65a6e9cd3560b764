"""Generation: images made anew from noise, by diffusion, adversarial training or variational autoencoders."""
