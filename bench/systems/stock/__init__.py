"""Flask, flask-sock and gunicorn as their documentation writes them."""
