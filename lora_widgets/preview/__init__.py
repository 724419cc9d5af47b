"""The dry run of a data set: what the model will see, before anything is trained. Reads only; torch-free."""
