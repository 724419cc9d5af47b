"""The settings: declared once, checked, explained, loaded and saved.

Every setting is declared in exactly one place, in the section it belongs to; forms, documentation, command
line and files derive from that declaration. ``TrainingConfig`` inherits all sections, so the configuration is
flat and a function can ask for just its part. Nothing here imports torch or a widget library, and nothing but
``files`` touches the disk: what only the disk or the machine knows comes in as ``Facts``.
"""
