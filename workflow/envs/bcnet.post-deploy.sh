#!/usr/bin/env bash
set -euo pipefail
python bootstrap.py --here
