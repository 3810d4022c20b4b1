"""What every room needs: errors, files, settings, keys, options, caches, compiled kernels, timesteps."""
