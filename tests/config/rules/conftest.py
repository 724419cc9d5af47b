import sys
from pathlib import Path

# importlib mode adds nothing to the path; tests here say `from situations import ...`.
sys.path.insert(0, str(Path(__file__).parent))
