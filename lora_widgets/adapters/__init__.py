"""The trainable add-on of a frozen base model: where it attaches, its maths, and its file names.

One door, `attach`, puts the modules of a configuration into a family's loaded parts, and `Adapter` is what
the rest sees of them. An adapter never changes the base model's weights and leaves its modules exactly as it
found them when it is detached, because a notebook trains many times in one kernel.
"""
