"""Adapter files by themselves: what they hold, what it is called, and what can be made of it.

No model is loaded and nothing is trained here. A file is read into modules by kohya's names, whatever names
it has itself (`read_lora`); tools take such modules and return modules; `write_lora` writes them in a
dialect. What is called how in which family is in `layouts`, and nowhere else.
"""
