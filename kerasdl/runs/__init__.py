"""Many runs at a time: find and sort them, choose one, compare some. `find` reads JSON only and is light."""
